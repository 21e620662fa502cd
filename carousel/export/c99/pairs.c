/* Letters are 1, numbers 2, white space 3, all else 0. */
static int kind_of(unsigned long code) {
  int low = 0, high = (int)(sizeof model_ranges / sizeof *model_ranges) - 1;
  if (white(code)) return 3;
  while (low <= high) {
    int middle = (low + high) / 2;
    if (code < model_ranges[middle].first) high = middle - 1;
    else if (code > model_ranges[middle].last) low = middle + 1;
    else return model_ranges[middle].kind;
  }
  return 0;
}

/* Returns how many bytes the next piece of a line has: a word, a number, signs, each with the space before it, or a gap. */
static size_t piece(const char *line) {
  static const char *const endings[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
  size_t k, begin = *line == ' ', at, last = 0;
  unsigned long code;
  int kind;
  for (k = 0; k < sizeof endings / sizeof *endings; k++)
    if (strncmp(line, endings[k], strlen(endings[k])) == 0) return strlen(endings[k]);
  if (line[begin] != '\0') {
    character(line + begin, &code);
    kind = kind_of(code);
    if (kind != 3) {
      for (at = begin; line[at] != '\0'; at += k) {
        k = character(line + at, &code);
        if (kind_of(code) != kind) break;
      }
      return at;
    }
  }
  for (at = 0; line[at] != '\0'; at += k) {
    k = character(line + at, &code);
    if (!white(code)) break;
    last = at;
  }
  return line[at] == '\0' || last == 0 ? at : last; /* the last space of a gap goes with the word behind it */
}

/* Returns the place of a pair in model_merges, or -1. */
static int merge_of(int left, int right) {
  int low = 0, high = MODEL_MERGES - 1;
  while (low <= high) {
    int middle = (low + high) / 2;
    int order = model_merges[middle].left != left ? model_merges[middle].left - left : model_merges[middle].right - right;
    if (order == 0) return middle;
    if (order < 0) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}

/* Returns the next token of a line, or -1; *line is moved behind its piece once all tokens of the piece were given. */
static int next_token(const char **line) {
  static int *tokens = NULL;
  static size_t count = 0, at = 0;
  size_t k, n;
  if (at < count) return tokens[at++];
  if (**line == '\0') return -1;
  n = piece(*line);
  tokens = realloc(tokens, n * sizeof *tokens);
  if (tokens == NULL) exit(1);
  for (k = 0; k < n; k++) tokens[k] = model_bytes[(unsigned char)(*line)[k]];
  *line += n;
  for (count = n;;) {
    int best = -1, found;
    size_t place = 0;
    for (k = 0; k + 1 < count; k++) {
      found = merge_of(tokens[k], tokens[k + 1]);
      if (found >= 0 && (best < 0 || model_merges[found].rank < model_merges[best].rank)) best = found, place = k;
    }
    if (best < 0) break;
    tokens[place] = model_merges[best].made;
    memmove(tokens + place + 1, tokens + place + 2, (count - place - 2) * sizeof *tokens);
    count--;
  }
  at = 1;
  return tokens[0];
}

