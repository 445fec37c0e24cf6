"""How long a suspension leaves a key where it was: from the request to the empty Secret."""

from tests.bench.contenders import Agentid, running
from tests.bench.lives import Lives
from tests.bench.rounds import ENDS_PER_SECOND, Sizes
from tests.bench.work import Work


async def suspensions(agentid: Agentid, work: Work, lives: Lives, sizes: Sizes) -> list[float]:
    """Suspend running tasks, some a second; return the delays in milliseconds. None of the tasks is left."""
    names = work.names(sizes.ends_paced)
    async with running(agentid):
        await work.at_once(work.create, names)
        await lives.until("agentid serves tasks", names, lambda life: life.served)
        await work.at_a_pace(work.suspend, names, ENDS_PER_SECOND)
        seen = await lives.until("agentid empties Secrets", names, lambda life: life.secret_gone)
        delays = [1000 * (life.secret_gone - life.end_asked) for life in seen]
        await work.at_once(work.end, names)
        await lives.until("agentid ends tasks", names, lambda life: life.over)
    await work.clear()
    return delays
