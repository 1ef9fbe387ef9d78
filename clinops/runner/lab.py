"""Start-up of the kernels that `make lab` opens (through PYTHONSTARTUP): they work in the project folder.

JupyterLab starts a kernel in the notebook's own folder, notebooks/; `clinops run` and papermill run the
same notebook in the project folder. Without this, `data/gibleed` would mean two different places.
"""

import os

if os.environ.get("CLINOPS_PROJECT"):
    os.chdir(os.environ["CLINOPS_PROJECT"])
del os
