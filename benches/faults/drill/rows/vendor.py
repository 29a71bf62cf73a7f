TITLE="x"
def cases(small): return []
