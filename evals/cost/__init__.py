"""What a study cost, job by job."""
