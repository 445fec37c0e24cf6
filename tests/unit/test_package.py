"""What installing the package brings along."""

from importlib.metadata import requires


def test_without_an_extra_nothing_else_is_installed():
    needed = requires("agentid") or []
    assert needed
    assert [each for each in needed if "extra ==" not in each] == []


def test_the_command_line_does_not_bring_what_runs_an_operator():
    cli = [each for each in requires("agentid") or [] if 'extra == "cli"' in each or "extra == 'cli'" in each]
    assert cli
    assert [each for each in cli if each.startswith(("kopf", "prometheus", "uvloop"))] == []
