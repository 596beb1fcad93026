"""The gate: are two models equal on these pictures, and if not, where does the first difference begin?"""
