"""`python -m agentid` is `agentid`; found by kubectl as `kubectl-agentid`, it is `kubectl agentid`."""

import sys
from pathlib import Path

_WRONG_USAGE = 2


def main() -> None:
    """Run the command; where its own dependencies are not installed, say which extra brings them."""
    try:
        from agentid.cli.main import app  # noqa: PLC0415 - the base package comes without what this needs
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "agentid":
            raise
        sys.stderr.write(
            f"agentid: {error.name} is not installed; in a checkout of agentid's repository, `pip install "
            "'.[operator]'` or `pip install '.[cli]'` brings it. (The agentid on PyPI is another project.)\n"
        )
        raise SystemExit(_WRONG_USAGE) from error
    app(prog_name="kubectl agentid" if Path(sys.argv[0]).name.startswith("kubectl-") else None)


def complete() -> None:
    """Tell kubectl how `kubectl agentid …` may go on; it says nothing to somebody who is typing."""
    try:
        from agentid.cli.kubectl_completion import run  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        raise SystemExit(_WRONG_USAGE) from error
    run()


if __name__ == "__main__":
    main()
