"""Layers that several systems share: a CNN's maps as a sequence, spatial transformers, initial weights."""
