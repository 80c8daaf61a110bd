"""From a model and a slide's geometry to arrays: halo, plan, session, pipeline."""
