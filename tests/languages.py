"""Domains in many languages: texts in which their words stand, and texts in which they do not."""

from orchestrator.domains import Domain
from orchestrator.templates import Template

TEMPLATE = Template.parse("{concept}", "here")


def domain(name: str, *concepts: str, aliases: tuple[str, ...] = ()) -> Domain:
    related: tuple[tuple[int, ...], ...] = ((),) * len(concepts)
    return Domain(name, aliases, concepts, (TEMPLATE,), (), related)


#: Language -> a domain, texts that are its, texts that are not.
LANGUAGES: dict[str, tuple[Domain, list[str], list[str]]] = {
    "Korean": (
        domain("양자컴퓨팅", "중첩", "얽힘", "빛"),
        [
            "양자컴퓨팅을 설명해줘",
            "양자컴퓨팅은 무엇인가요?",
            "중첩이 뭐야",
            "빛의 속도",
            "AI로 얽힘을",
        ],
        ["왜 중요한가", "빛나는 별", "비양자컴퓨팅", "컴퓨팅"],
    ),
    "Thai": (
        domain("กฎหมายภาษี", "รายได้", "หักลดหย่อน"),
        ["อธิบายกฎหมายภาษีให้มือใหม่", "รายได้คืออะไร", "วิธีหักลดหย่อนภาษี"],
        ["อธิบายกฎหมาย", "รายไดโนเสาร์"],
    ),
    "Arabic": (
        domain("الضرائب", "خصم", "برمجة", "ألعاب"),
        [
            "ما هي الضرائب؟",
            "تكلم عن موضوع للضرائب",
            "والضرائب مهمة",
            "ضَرَائِب",
            "بالخصم",
            "البرمجه",
        ],
        ["ما هو الطقس", "الضر", "مخصم"],
    ),
    "Hebrew": (domain("מיסים", "הכנסה", "ניכוי"), ["מהם המיסים", "ולמיסים", "בהכנסה"], ["מים"]),
    "Hindi": (
        domain("वित्त", "कर", "आय"),
        ["कर क्या है", "वित्त समझाइए"],
        ["कृपया मदद करें", "मुझे क्या करना चाहिए"],
    ),
    "Turkish": (
        domain("vergi hukuku", "gelir", "indirim"),
        ["Vergi hukukunu açıkla", "vergi hukukunun amacı", "gelirin tanımı", "İNDİRİM nedir"],
        ["geliştirme nedir", "hukuk nedir"],
    ),
    "German": (
        domain("Steuerrecht", "Einkommen", "Abzug"),
        [
            "Erkläre die Steuerrechtsreform",
            "Grundlagen des Steuerrechts",
            "Einkommensteuer",
            "Abzüge: der Abzug",
        ],
        ["Erkläre das Strafrecht", "Steuer"],
    ),
    "Russian": (domain("налог", "доход", "ставка"), ["налоги", "о доходах"], ["наложение"]),
    "Japanese": (domain("税法", "所得", "控除"), ["税法とは何ですか", "AIと所得"], ["税金の法律"]),
    "English": (
        domain("visual art", "class", "import"),
        ["an art class"],
        ["artificial visuals", "classical music", "statements"],
    ),
}
