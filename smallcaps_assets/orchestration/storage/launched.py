"""Names as in `private.py` for a process of one run; they load Dagster's command line, slowly."""

# works on a run that was launched for this process
from dagster._cli.api import _execute_run_command_body as execute_launched_run

# lets a signal end a run in order
from dagster._utils.interrupts import capture_interrupts

__all__ = ["capture_interrupts", "execute_launched_run"]
