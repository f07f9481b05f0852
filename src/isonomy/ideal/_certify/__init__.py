"""What a certificate is made of: targets, claims, sentences."""
