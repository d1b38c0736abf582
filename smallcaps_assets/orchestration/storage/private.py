"""Names that Dagster does not promise to keep, from version 1.13.27, each with what it is for.

No module outside `orchestration/storage` imports private ones, so that an update is looked at here.
"""

# where a worker that has only the package finds the job of a run
from dagster._core.code_pointer import ModuleCodePointer

# what a check of a partition must name to count as being about its newest materialization
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)

# runs a job in this process for a run that belongs to the code location of the web server
from dagster._core.definitions.job_base import InMemoryJob

# which of schedules and sensors is switched on or off
from dagster._core.definitions.run_request import InstigatorType

# plans a partition, so that one whose file is lost or whose key failed is shown as failed
from dagster._core.events import AssetMaterializationPlannedData

# executes such a run
from dagster._core.execution.api import execute_run

# opens the instance of a folder without changing the environment
from dagster._core.instance.ref import InstanceRef

# what a run launcher answers when it is asked whether a run lives
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus

# the job of a run that is queued
from dagster._core.origin import RepositoryPythonOrigin

# the code location of such a run, and that under which states of schedules and sensors are kept
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)

# states and ticks of schedules and sensors
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorTick,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickStatus,
)

# the code location as workspace.yaml names it
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

# the id of the run that plans it
from dagster._core.utils import make_new_run_id

__all__ = [
    "AssetCheckEvaluationTargetMaterializationData",
    "AssetMaterializationPlannedData",
    "CheckRunHealthResult",
    "InMemoryJob",
    "InstanceRef",
    "InstigatorState",
    "InstigatorStatus",
    "InstigatorTick",
    "InstigatorType",
    "LaunchRunContext",
    "LoadableTargetOrigin",
    "ManagedGrpcPythonEnvCodeLocationOrigin",
    "ModuleCodePointer",
    "RegisteredCodeLocationOrigin",
    "RemoteInstigatorOrigin",
    "RemoteJobOrigin",
    "RemoteRepositoryOrigin",
    "RepositoryPythonOrigin",
    "ScheduleInstigatorData",
    "SensorInstigatorData",
    "TickStatus",
    "WorkerStatus",
    "execute_run",
    "make_new_run_id",
]
