"""What a jobfile asks for, compared with what earlier runs have done."""
