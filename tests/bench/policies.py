"""What policies cost: issues among ten and two hundred of them, against one that allows everything."""

from typing import Final

from devcluster.progress import Step
from tests.bench.contenders import Agentid, running
from tests.bench.lives import Lives
from tests.bench.rounds import Burst, Sizes, end_burst, issue_burst
from tests.bench.work import Work

COUNTS: Final = (0, 10, 200)
"""How many policies there are beside the one that allows everything."""
_RULES: Final = (
    'forbid (principal == Agent::"team-%/agent", action, resource) unless { context.approved };',
    "forbid (principal, action, resource) when { resource.sensitivity >= 3 && resource.depth > % };",
    'forbid (principal, action == Action::"issue", resource) when { resource.purpose like "*-%" };',
    'forbid (principal, action, resource) when { context.environment.namespaceLabels.hasTag("team-%") };',
    'forbid (principal, action, resource) when { context.time >= datetime("2099-01-01T00:00:00Z") };',
)
"""Rules as in deploy/policies/, none of which forbids what is measured; each policy holds one."""

PolicyRound = dict[int, Burst]
"""The burst of issues, by how many policies there were."""


async def among_policies(
    agentid: Agentid, work: Work, lives: Lives, sizes: Sizes, step: Step
) -> list[PolicyRound]:
    """Measure bursts of issues among each number of policies, in turn; none of them is left."""
    found = []
    for number in range(sizes.rounds):
        seen: PolicyRound = {}
        for count in COUNTS if number % 2 == 0 else COUNTS[::-1]:
            step.still(f"round {number + 1} of {sizes.rounds}: {count} policies")
            for each in range(count):
                await work.policy(_name(each), cedar(each))
            # It is ready once it has taken in all policies that there are.
            async with running(agentid):
                names = work.names(sizes.burst)
                seen[count] = await issue_burst(agentid, work, lives, names)
                await end_burst(agentid, work, lives, names)
            await work.clear()
            for each in range(count):
                await work.no_policy(_name(each))
        found.append(seen)
    return found


def cedar(number: int) -> str:
    """Return the text of one of many policies, which forbids nothing of what is measured."""
    return f'@id("bench-{number}")\n{_RULES[number % len(_RULES)].replace("%", str(number))}\n'


def _name(number: int) -> str:
    return f"bench-{number:03d}"
