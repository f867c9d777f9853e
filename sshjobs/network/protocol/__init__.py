"""The protocol of a link, without any input or output: frames, and the conversation that they make up."""
