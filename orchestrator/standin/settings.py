"""The knobs of a stand-in, and money as whole nano-dollars."""

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

#: The key that is accepted unless another is configured.
DEFAULT_KEY = "sk-or-v1-stand-in"

Seconds = Annotated[float, Field(ge=0, le=86_400)]
Usd = Annotated[Decimal, Field(ge=0)]


class Settings(BaseModel):
    """Every knob. Made by the command line, a test or the control API; read everywhere here."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    #: Texts, latencies and seeded faults follow from this, the body, and how often it was seen.
    seed: int = 0
    #: None: no key is asked for.
    key: str | None = DEFAULT_KEY
    #: Median time to an answer.
    latency_ms: Annotated[float, Field(ge=0, le=600_000)] = 0.0
    #: Spread of the logarithm of the time; 0: the time is fixed.
    sigma: Annotated[float, Field(ge=0, le=3)] = 0.0
    #: Requests let through in any ``window_s``; None: no limit.
    rpm: Annotated[int, Field(ge=1)] | None = None
    window_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    #: Generations at the same time; None: no limit.
    max_in_flight: Annotated[int, Field(ge=1)] | None = None
    #: What the account may spend; None: no end.
    credit: Usd | None = None
    #: What the key may spend; None: no end.
    key_limit: Usd | None = None
    #: Requests to ``:free`` models in a day of UTC.
    free_per_day: Annotated[int, Field(ge=0)] = 1000
    #: The wait that scripted and seeded faults ask for. Real limits say how long it really takes.
    retry_after_s: Annotated[int, Field(ge=0)] = 1
    #: How long the fault ``slow`` sends nothing; a change counts for those that wait, too.
    slow_s: Seconds = 5.0
    #: How long the fault ``drip`` sends blank lines, and how often one.
    drip_s: Seconds = 60.0
    drip_every_s: Annotated[float, Field(gt=0)] = 1.0
    #: How late ``GET /generation`` knows a generation.
    generation_lag_s: Seconds = 0.0
    #: Whether ``GET /models`` lists those whose prices are missing or no strings.
    malformed_prices: bool = False
    #: Words a judge likes (weight > 0) or dislikes, whatever its rubric says.
    preference: dict[str, float] = {}
    #: Standard deviation of a judge's score, on a scale of 0 to 1.
    noise: Annotated[float, Field(ge=0, le=1)] = 0.05
    #: What a judge of two texts adds to the score of the one that stands first.
    position_bias: Annotated[float, Field(ge=-1, le=1)] = 0.0
    #: Two scores that differ by less are equal to it.
    tie_margin: Annotated[float, Field(ge=0, le=1)] = 0.02


def nano(usd: Decimal) -> int:
    """Dollars as whole nano-dollars, in which sums are exact."""
    return int(usd.scaleb(9).to_integral_value())


def dollars(nanos: int) -> float:
    """Nano-dollars as the number that stands in JSON."""
    return nanos / 1_000_000_000
