//! The vocabulary between the simulation and everyone else: events, run directory, tables, summary.
