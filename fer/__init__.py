"""fer: a reproducible benchmark of facial-expression recognition.

The line of stages is acquire → index → align → split → train → evaluate → report. Each word is a module in
`fer.stages`, a sub-command of `fer`, a file in `workflow/rules/` and a folder in `logs/`.

Imports run one way: cli → stages → (datasets, faces, systems, training, evaluation, reporting, tracking)
→ (params, protocols, layout, storage, errors).
"""

__version__ = "0.1.0"
