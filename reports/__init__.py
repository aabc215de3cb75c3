"""Reports for people: HTML pages in one file, plots as SVG, small ones for a terminal. Imports nothing of ours."""
