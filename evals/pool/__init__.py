"""Studies of several laboratories as one: joined where they agree in every convention, refused by name where they do not."""
