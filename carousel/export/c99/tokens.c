/* Compares the token of that id with a text of some bytes, as memcmp does, the shorter first. */
static int compared(int id, const char *text, size_t length) {
  size_t own = (size_t)model_lengths[id];
  int order = memcmp(model_texts[id], text, own < length ? own : length);
  return order ? order : (own > length) - (own < length);
}

/* Returns the id of a token. */
static int token_of(const char *text, size_t length) {
  int low = 0, high = MODEL_VOCABULARY - 1;
  while (low <= high) {
    int middle = (low + high) / 2, order = compared(model_sorted[middle], text, length);
    if (order == 0) return model_sorted[middle];
    if (order < 0) low = middle + 1;
    else high = middle - 1;
  }
  return MODEL_UNKNOWN;
}

/* Returns the next token of a line, or -1; *line is moved behind it. */
static int next_token(const char **line) {
  const char *begin = *line, *p;
  unsigned long code;
  size_t length;
  if (!MODEL_WORDS) {
    if (*begin == '\0') return -1;
    length = character(begin, &code);
    *line = begin + length;
    return token_of(begin, length);
  }
  while (*begin != '\0' && (length = character(begin, &code), white(code))) begin += length;
  if (*begin == '\0') return -1;
  for (p = begin; *p != '\0' && (length = character(p, &code), !white(code)); p += length) continue;
  *line = p;
  return token_of(begin, (size_t)(p - begin));
}

