"""Drawing samples and energies from models, and counting what their networks do."""
