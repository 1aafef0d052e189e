//! Renders a run's tables as one offline HTML file and as terminal text.
