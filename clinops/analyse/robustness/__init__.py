"""How much an answer rests on what was assumed: everything a sensitivity analysis can ask of one study."""
