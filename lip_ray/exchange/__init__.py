"""What comes in from elsewhere and goes out: tickets and generators as files."""
