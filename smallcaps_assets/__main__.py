"""The `smallcaps` program: `python -m smallcaps_assets` is the same."""

from smallcaps_assets import interrupts


def main() -> None:
    """Heed signals before anything else is imported, then run the command."""
    interrupts.install()
    from smallcaps_assets.cli import main as command

    command(prog_name="smallcaps")


if __name__ == "__main__":
    main()
