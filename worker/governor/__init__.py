"""One governor of rate, concurrency and money for the whole fleet, in Redis.

Every paid call asks it before it leaves (``Governor.admit``) and tells it how it ended
(``Governor.settle``). It knows nothing of HTTP and classifies nothing: what an answer means, the
client says in a ``Settlement``.
"""

from worker.governor.governor import Governor
from worker.governor.tickets import OutOfTime, Settlement, Stop, Stopped, Ticket, Withdrawn

__all__ = ["Governor", "OutOfTime", "Settlement", "Stop", "Stopped", "Ticket", "Withdrawn"]
