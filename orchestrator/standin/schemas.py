"""The part of JSON Schema that a structured answer needs."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

#: References followed, and objects in objects written, before giving up.
MAX_DEPTH = 8


class Schema(BaseModel):
    """A schema, as far as it matters here. Read from a request."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: str | list[str] | None = None
    properties: "dict[str, Schema] | None" = None
    items: "Schema | bool | None" = None
    enum: list[Any] | None = None
    const: Any = None
    choices: "list[Schema]" = Field(default=[], alias="anyOf")
    one_of: "list[Schema]" = Field(default=[], alias="oneOf")
    all_of: "list[Schema]" = Field(default=[], alias="allOf")
    reference: str | None = Field(default=None, alias="$ref")
    named: "dict[str, Schema]" = Field(default={}, alias="$defs")
    also_named: "dict[str, Schema]" = Field(default={}, alias="definitions")
    minimum: float = 0.0
    maximum: float | None = None
    fewest: Annotated[int, Field(ge=0, le=100)] = Field(default=1, alias="minItems")

    @property
    def kind(self) -> str:
        """The one type that a value will have."""
        if isinstance(self.type, str):
            return self.type
        if self.type:
            return next((each for each in self.type if each != "null"), "null")
        return "object" if self.properties is not None else "string"

    def span(self, top: float) -> tuple[float, float]:
        """The least and the greatest number, the latter ``top`` unless it is said."""
        return self.minimum, max(self.minimum, top) if self.maximum is None else self.maximum

    def behind(self, root: "Schema") -> "Schema":
        """The schema behind references and choices; of these the first that is not null."""
        found = self
        for _ in range(MAX_DEPTH):
            choices = found.choices or found.one_of or found.all_of
            if found.reference is not None:
                name = found.reference.rpartition("/")[2]
                found = root.named.get(name) or root.also_named.get(name) or Schema()
            elif choices:
                found = next((each for each in choices if each.type != "null"), Schema())
            else:
                return found
        return Schema()
