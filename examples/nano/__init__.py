"""How the embedded model `nano` is made: problems, programs, mental solutions, hints, tokenizer, mix, training, evaluation."""
