"""Student-t cells: divergences, programmes, rates."""
