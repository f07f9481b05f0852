"""How a model answers with a class: a classification head, label words or class-name prompts."""
