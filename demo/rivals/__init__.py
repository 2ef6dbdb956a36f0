"""Our quantisers and the field's on the same graph and the same samples: `python -m demo.rivals FOLDER`."""
