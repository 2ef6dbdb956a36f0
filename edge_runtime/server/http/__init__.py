"""What clients speak: routes, requests and answers of the OpenAI kind, errors, streams."""
