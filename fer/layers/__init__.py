"""What several systems share and is no system: a CNN's maps as a sequence, spatial transformers, first weights."""
