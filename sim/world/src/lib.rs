//! The simulated world of cotune: fleet, availability, split, coordination, methods, and the actors that play them.
