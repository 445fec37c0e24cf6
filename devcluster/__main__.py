"""`python -m devcluster`: leave a cluster running with agentid in it, end it, or build what it takes."""

from typing import Annotated

import typer
from rich.console import Console

from agentid.errors import AgentidError
from devcluster import build, kind, operator_image, standing
from devcluster.progress import say
from devcluster.tools import GROUPS

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.command()
def up(*, node: Annotated[bool, typer.Option(help="With a node, so that pods run (root).")] = False) -> None:
    """Start a cluster, install the chart, start the operator, and leave all that running."""
    try:
        standing.up(node=node)
    except KeyboardInterrupt:
        say("Interrupted; what was started has been ended.")
        raise


@app.command()
def down() -> None:
    """End what `up` left running, and remove all that it made."""
    standing.down()


@app.command("image")
def image_command() -> None:
    """Build the operator's image into the cache (root), and print its name and its archive."""
    image = operator_image.built()
    print(image, image.archive)


@app.command("kind-up")
def kind_up() -> None:
    """Start a cluster of kind with the operator's image on its node, and print what to set for `make e2e`."""
    kind.up()


@app.command("kind-down")
def kind_down() -> None:
    """End it."""
    kind.down()


@app.command("build")
def build_command(
    groups: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(GROUPS)}; all if none.")] = None,
) -> None:
    """Build the pinned programs into the cache, those that are not there yet."""
    for group in groups or GROUPS:
        if group not in GROUPS:
            raise typer.BadParameter(f"{group} is none of {', '.join(GROUPS)}")
        build.ensure_groups([group])


def main() -> None:
    """Run a command; what is refused is one sentence, not a traceback."""
    try:
        app()
    except AgentidError as refused:
        Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(f"devcluster: {refused}")
        raise SystemExit(1) from refused


if __name__ == "__main__":
    main()
