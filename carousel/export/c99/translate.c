
/* Returns whether a line has nothing but white space. */
static int blank(const char *line) {
  unsigned long code;
  size_t length;
  for (; *line != '\0'; line += length) {
    length = character(line, &code);
    if (!white(code)) return 0;
  }
  return 1;
}

/* Writes the text of a token; a line's end in it would end the translation. */
static void write_token(int token) {
  int k;
  for (k = 0; k < target_lengths[token]; k++) {
    const char c = target_texts[token][k];
    putchar(c == '\n' || c == '\r' ? ' ' : c);
  }
}

/* Translates the lines of the standard input, greedily. */
int main(void) {
  static model_state state;
  static int source[MODEL_LONGEST];
  static float logits[MODEL_VOCABULARY];
  const char *line;
  long number = 0;
  for (; (line = next_line(stdin)) != NULL; putchar('\n')) {
    int count = 0, token, written, k, best;
    if (number++ == 0 && strncmp(line, "\xef\xbb\xbf", 3) == 0) line += 3;
    if (blank(line)) continue;
    while ((token = next_token(&line)) >= 0)
      if (count < MODEL_LONGEST - 1) source[count++] = token;
      else if (count++ == MODEL_LONGEST - 1) fprintf(stderr, "line %ld is longer than %d tokens\n", number, MODEL_LONGEST - 1);
    if (count > MODEL_LONGEST - 1) count = MODEL_LONGEST - 1;
    source[count++] = SOURCE_END;
    model_read(&state, source, count);
    token = MODEL_END;
    for (written = 0; written < 2 * count + 10; written++) {
      model_token(&state, token, logits);
      best = -1;
      for (k = 0; k < MODEL_VOCABULARY; k++)
        if (k != MODEL_UNKNOWN && (best < 0 || logits[k] > logits[best])) best = k;
      token = best;
      if (token == MODEL_END) break;
      if (MODEL_WORDS && written > 0) putchar(' ');
      write_token(token);
    }
  }
  return 0;
}
