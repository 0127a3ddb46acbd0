"""Where and when trials run: the only package that imports Ray.

Ray and OpenMP read the settings below when they are imported or started, and Ray's workers inherit
them. So they are made here, before any module of this package can import Ray or torch. What the
user has set stays.
"""

import os

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GOMP_SPINCOUNT": "20000",  # some 50 µs; threads that spin on hold up others on busy cores
    "RAY_AIR_NEW_OUTPUT": "0",  # the newer one prints a box even when asked to be silent
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",  # Tune's own state is never read: the store decides
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours: once it lets levels end
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}

if "OMP_WAIT_POLICY" in os.environ:  # the count would override it
    del SETTINGS["GOMP_SPINCOUNT"]
os.environ |= SETTINGS | dict(os.environ)
