"""MLflow as a projection of the run folders: live while training, rebuilt from `runs/` at any time.

The run folders are the truth. Nothing here may stop a training, and nothing reads MLflow to decide anything else.
"""
