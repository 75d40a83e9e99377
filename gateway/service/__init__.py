"""The stories: what happens to a chat request and to a video job, from acceptance to the last byte."""
