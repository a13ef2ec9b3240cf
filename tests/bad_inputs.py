"""Data and domain files that must be refused: for the loaders and for the command line (exit 2)."""

from typing import Literal, NamedTuple

from orchestrator.data_records import MAX_TEXT


class BadInput(NamedTuple):
    """A file that must be refused, and words that the message must hold."""

    name: str
    kind: Literal["data", "domain"]
    filename: str
    content: bytes
    fragment: str


def _data(name: str, filename: str, content: bytes | str, fragment: str) -> BadInput:
    raw = content.encode() if isinstance(content, str) else content
    return BadInput(name, "data", filename, raw, fragment)


def _domain(name: str, filename: str, content: bytes | str, fragment: str) -> BadInput:
    raw = content.encode() if isinstance(content, str) else content
    return BadInput(name, "domain", filename, raw, fragment)


_OK = '{"text": "Explain qubits"}\n'
_TOML = 'name = "cooking"\nconcepts = ["salt", "heat"]\ntemplates = ["Use {concept}."]\n'

_ONE = '{"name": "a", "concepts": ["b", "c"], "templates": ["{concept}"]}'


def _template(text: str) -> str:
    return f"concepts = ['salt', 'heat']\ntemplates = ['Use {{concept}}.', '{text}']\n"


_FILES = [
    _data("empty", "a.jsonl", "", "a.jsonl: the file is empty"),
    _data("blank", "a.csv", "\n \r\n", "a.csv: the file is empty"),
    _data("bom-only", "a.json", b"\xef\xbb\xbf", "a.json: the file is empty"),
    _data("suffix", "a.xlsx", _OK, "'.xlsx' says no known format. Use .jsonl, .ndjson,"),
    _data("no-suffix", "a", _OK, "'' says no known format"),
    _data(
        "not-utf8", "a.jsonl", _OK.encode() + b'{"text": "\xe9"}', "a.jsonl:2: is not UTF-8: byte"
    ),
    _data("not-utf8-bom", "a.csv", b"\xef\xbb\xbftext\n\n\xff", "a.csv:3: is not UTF-8: byte 0xff"),
    _data("utf16", "a.jsonl", _OK.encode("utf-16"), "a.jsonl:1: is UTF-16, not UTF-8"),
    _data("nul-byte", "a.csv", b"text\nEx\0plain\n", "a.csv:2: holds a NUL byte"),
]
_JSON = [
    _data("json-empty-array", "a.json", "[ ]", "holds no records"),
    _data("json-object", "a.json", '\n{"text": "a"}', "a.json:2: expected an array of records"),
    _data("json-is-jsonl", "a.json", _OK * 2, "a.json:2: unexpected text after the JSON value"),
    _data(
        "json-trailing", "a.json", f"[{_OK}]\n oops", "a.json:3: unexpected text after the array"
    ),
    _data(
        "json-no-comma", "a.json", f"[{_OK}{_OK}]", "a.json:2: expected ',' or ']' after a record"
    ),
    _data("json-last-comma", "a.json", f"[{_OK},\n]", "a.json:3: not valid JSON at column 1"),
    _data("json-cut-off", "a.json", f"[{_OK},", "the JSON ends in the middle of a value"),
    _data("json-open", "a.json", f"[{_OK}", "a.json:2: the array is not closed"),
    _data("json-not-object", "a.json", f'[{_OK},\n"b"]', "a.json:3: a record must be an object"),
    _data(
        "json-late", "a.json", f'[{_OK},\n{{\n"id": "b"}}]', "a.json:3: the record has no 'text'"
    ),
    _data("jsonl-cut-off", "a.jsonl", _OK + '{"text": ', "a.jsonl:2: the JSON ends in the middle"),
    _data("jsonl-syntax", "a.jsonl", _OK + "{text: 1}", "a.jsonl:2: not valid JSON at column 2"),
    _data("jsonl-two", "a.jsonl", _OK.strip() * 2, "a.jsonl:1: unexpected text after the JSON"),
    _data("jsonl-array", "a.jsonl", f"[{_OK.strip()}]", "A JSON array belongs in a .json file"),
    _data(
        "nan", "a.jsonl", _OK + '\n{"text": "a", "x": NaN}', "a.jsonl:3: NaN is not a JSON number"
    ),
    _data(
        "infinity", "a.json", '[{"text": "a", "x": -Infinity}]', "-Infinity is not a JSON number"
    ),
    _data("huge-float", "a.jsonl", '{"text": "a", "x": 1e999}', "the number '1e999' is too large"),
    _data("huge-int", "a.jsonl", f'{{"text": "a", "x": {"9" * 5000}}}', "a number of 5000 digits"),
    _data("key-twice", "a.jsonl", '{"text": "a", "text": "b"}', "the key 'text' stands twice"),
    _data("half-character", "a.jsonl", r'{"text": "\ud800"}', "a.jsonl:1: half a character"),
    _data("deep", "a.jsonl", '{"text": "a", "x": ' + "[" * 100_000, "nested too deeply"),
]
_CSV = [
    _data(
        "csv-no-text",
        "a.csv",
        "Frage;Nr\nWas ist das?;1\n",
        "no 'text', it has 'Frage' and 'Nr'. Name the prompt's field 'text', or say which field it"
        " is, as in --set columns.text=Frage",
    ),
    _data(
        "csv-nameless-inside",
        "a.csv",
        "text,x,\na,1,\nb,2,3\n",
        "a.csv:1: column 3 has no name, and record 2 has a value in it: '3'",
    ),
    _data("csv-header-twice", "a.csv", "text,x,x\na,1,2\n", "a.csv:1: the header names 'x' twice"),
    _data("csv-nameless", "a.csv", "text,,x\na,1,2\n", "a.csv:1: column 2 has no name"),
    _data("csv-header-only", "a.csv", "text,x\n", "holds no records"),
    _data(
        "csv-more",
        "a.csv",
        'text,x\n"a\nb",1\na, b,2\n',
        "a.csv:4: record 2 has 3 cells, and the header names 2 columns",
    ),
    _data(
        "csv-fewer",
        "a.csv",
        "text,x,y\na\n",
        "a.csv:2: record 1 has 1 cell, and the header names 3 columns: 'x' and 'y' are missing",
    ),
    _data("csv-long", "a.csv", f"text\n{'a' * 140_000}\n", "'text' has 140,000 characters"),
    _data("csv-quote", "a.csv", 'text,x\na,1\n"b,2\nc,3\n', "a.csv:3: not valid CSV"),
    _data("csv-after-quote", "a.csv", 'text\n"b" c\n', "a.csv:2: not valid CSV"),
    _data("csv-empty-text", "a.csv", "text,x\n,1\n", "a.csv:2: 'text' is empty"),
]
_RECORDS = [
    _data("no-text", "a.jsonl", '{"txt": "a"}', "no 'text', it has 'txt'. Did you mean 'txt'?"),
    _data("empty-record", "a.jsonl", "{}", "a.jsonl:1: the record has no 'text', it has nothing"),
    _data("text-null", "a.jsonl", '{"text": null}', "'text' must be a string, found None"),
    _data("text-number", "a.jsonl", '{"text": 7}', "'text' must be a string, found 7"),
    _data("text-blank", "a.jsonl", '{"text": " "}', "'text' is empty"),
    _data("text-nul", "a.jsonl", r'{"text": "a\u0000"}', "'text' holds a NUL character"),
    _data("text-long", "a.jsonl", f'{{"text": "{"a" * (MAX_TEXT + 1)}"}}', "100,001 characters"),
    _data(
        "reference-object",
        "a.jsonl",
        '{"text": "a", "reference": {"value": "b"}}',
        "as in --set columns.reference=reference.value",
    ),
    _data("reference-deep", "a.jsonl", '{"text": "a", "reference": [["b"]]}', "a list in a list"),
    _data(
        "two-prompts",
        "a.jsonl",
        '{"question": "a", "prompt": "b"}',
        "the prompt may be 'prompt' or 'question'. Say which one it is: --set columns.text=prompt"
        " or --set columns.text=question",
    ),
    _data(
        "one-line",
        "a.json",
        '[{"text": "a"}, {"text": "b"}, {"text": ""}]',
        "a.json: record 3: 'text' is empty",
    ),
    _data("one-line-nan", "a.json", '[{"text": "a"}, {"text": NaN}]', "It is in record 2."),
    _data(
        "no-user-turn",
        "a.jsonl",
        '{"messages": [{"role": "system", "content": "a"}]}',
        "the conversation in 'messages' has no turn of a user",
    ),
    _data(
        "unknown-role",
        "a.jsonl",
        '{"messages": [{"role": "narrator", "content": "a"}]}',
        "turn 1 is of 'narrator', which is no role known here",
    ),
    _data(
        "picture",
        "a.jsonl",
        '{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}',
        "turn 1 holds 'image_url', and only text can be asked",
    ),
    _data("input-no-text", "a.jsonl", '{"input": {"q": "a"}}', "'input' has no 'text', only 'q'"),
    _data("both-shapes", "a.jsonl", '{"input": {"text": "a"}, "text": "b"}', "'text' stands twice"),
    _data(
        "quality-range",
        "a.json",
        '[{"input": {"text": "a"}, "output": {"quality": 95}}]',
        "a.json:1: 'quality' must be a number from 0 to 1, found 95",
    ),
    _data(
        "quality-string",
        "a.json",
        '[{"input": {"text": "a"}, "output": {"quality": "0.9"}}]',
        "'quality' must be a number from 0 to 1, found '0.9'",
    ),
    _data("id-blank", "a.jsonl", '{"text": "a", "id": "a b"}', "the id 'a b' is not allowed"),
    _data("id-long", "a.jsonl", f'{{"text": "a", "id": "{"x" * 65}"}}', "is not allowed"),
    _data("id-newline", "a.jsonl", r'{"text": "a", "id": "a\n"}', "is not allowed"),
    _data("id-float", "a.jsonl", '{"text": "a", "id": 1.5}', "the id 1.5 is not allowed"),
    _data(
        "id-twice",
        "a.jsonl",
        '{"text": "a", "id": "x"}\n{"text": "b", "id": "x"}',
        "a.jsonl:2: the id 'x' is already used at",
    ),
    _data(
        "unknown-domain",
        "a.jsonl",
        _OK + '{"text": "a", "domain": "machine lerning"}',
        "a.jsonl:2: domain 'machine lerning' is not one of this run's",
    ),
]
_DOMAINS = [
    _domain(
        "domain-suffix", "d.yaml", "name: x", "'.yaml' says no known format. Use .toml or .json"
    ),
    _domain("domain-empty", "d.toml", "", "d.toml: the file is empty"),
    _domain("toml-syntax", "d.toml", _TOML + "aliases = [\n'a'", "d.toml:5: not valid TOML"),
    _domain("toml-value", "d.toml", "\nname = cooking\n", "d.toml:2: not valid TOML"),
    _domain("domain-json-syntax", "d.json", '{\n"name": }', "d.json:2: not valid JSON"),
    _domain("domain-array", "d.json", "[]", "a domain must be an object, found []"),
    _domain("domain-none", "d.json", "{}", "d.json: holds no domain"),
    _domain("domains-none", "d.json", '{"domains": []}', "d.json: holds no domain"),
    _domain("domains-table", "d.json", '{"domains": {}}', "'domains' must be a list of domains"),
    _domain("domains-beside", "d.json", '{"domains": [], "name": "x"}', "'name' stands beside"),
    _domain("domain-string", "d.json", '{"domains": ["x"]}', "a domain must be a table of keys"),
    _domain("unknown-key", "d.toml", _TOML + "template = []", "Did you mean 'templates'?"),
    _domain("unknown-keyword", "d.json", '{"keyword": []}', "Did you mean 'keywords'?"),
    _domain(
        "both-keys", "d.toml", _TOML + "keywords = []", "'concepts' and 'keywords' are the same"
    ),
    _domain("name-number", "d.toml", "name = 7", "'name': expected a string, found 7"),
    _domain("name-empty", "d.toml", "name = ' '", "is an empty string"),
    _domain("one-concept", "d.toml", "concepts = ['salt']", "needs at least 2 concepts, found 1"),
    _domain("concept-twice", "d.toml", "concepts = ['salt', 'Salt']", "'Salt' stands twice"),
    _domain("concept-empty", "d.toml", "concepts = ['salt', '']", "is an empty string"),
    _domain("concept-number", "d.toml", "concepts = ['salt', 1]", "expected a string, found 1"),
    _domain("concept-string", "d.toml", "concepts = 'salt'", "expected a list of strings"),
    _domain("concept-control", "d.toml", 'concepts = ["sa\\u001blt", "b"]', "control character"),
    _domain(
        "no-templates", "d.toml", "concepts = ['salt', 'heat']", "needs at least one of 'templ"
    ),
    _domain("relation-unknown", "d.toml", _TOML + "[relationships]\nsalk = []", "mean 'salt'?"),
    _domain("relation-itself", "d.toml", _TOML + "[relationships]\nsalt = ['Salt']", "to itself"),
    _domain("relation-string", "d.toml", _TOML + "[relationships]\nsalt = 'x'", "list of strings"),
    _domain("relation-twice", "d.toml", _TOML + "[relationships]\nsalt = []\nSalt = []", "twice"),
    _domain(
        "relations-list", "d.toml", _TOML + "relationships = []", "must map concepts to values"
    ),
    _domain("weight-high", "d.toml", _TOML + "[weights]\nsalt = 1.0", "between 0 and 1, found 1.0"),
    _domain("weight-nan", "d.toml", _TOML + "[weights]\nsalt = nan", "between 0 and 1, found nan"),
    _domain(
        "weight-true", "d.toml", _TOML + "[weights]\nsalt = true", "between 0 and 1, found True"
    ),
    _domain("weight-unknown", "d.toml", _TOML + "[weights]\npepper = 0.5", "names 'pepper'"),
    _domain("name-twice", "d.json", f'{{"domains": [{_ONE}, {_ONE}]}}', "is also called 'a'"),
    _domain(
        "template-number", "d.toml", "concepts = ['a', 'b']\ntemplates = [1]", "template 1: exp"
    ),
    _domain(
        "template-plain", "d.toml", _template("No place."), "template 2: 'No place.' has no {con"
    ),
    _domain(
        "template-name", "d.toml", _template("{concepts}"), "template 2: '{concepts}' is not a"
    ),
    _domain("template-attribute", "d.toml", _template("{concept.x}"), "'{concept.x}' is not a"),
    _domain("template-index", "d.toml", _template("{concept[0]}"), "'{concept[0]}' is not a"),
    _domain("template-conversion", "d.toml", _template("{concept!r}"), "'{concept!r}' is not a"),
    _domain("template-format", "d.toml", _template("{concept:>9}"), "'{concept:>9}' is not a"),
    _domain("template-empty", "d.toml", _template("{}{concept}"), "'{}' is not a placeholder"),
    _domain("template-position", "d.toml", _template("{0}"), "'{0}' is not a placeholder"),
    _domain("template-open", "d.toml", _template("{concept} {"), "a single '{' has no partner"),
    _domain("template-close", "d.toml", _template("{concept} }"), "a single '}' has no partner"),
    _domain("template-nested", "d.toml", _template("{{concept}"), "a single '}' has no partner"),
]

BAD_INPUTS: tuple[BadInput, ...] = (*_FILES, *_JSON, *_CSV, *_RECORDS, *_DOMAINS)
