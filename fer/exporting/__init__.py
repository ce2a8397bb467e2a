"""export: from a trained run to one ONNX file that states what it takes, what it answers and how good it is."""
