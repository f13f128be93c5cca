"""Answers the questions of language models, by the Model Context Protocol over standard input and output."""
