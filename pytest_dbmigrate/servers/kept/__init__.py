"""Kept servers, which stay between the runs of a project that resumes."""
