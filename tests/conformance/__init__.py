"""Does a server speak the Open Inference Protocol? Ask it; see README.md beside this file."""
