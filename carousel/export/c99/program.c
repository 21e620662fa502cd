
/* Returns -log p of a token, in nats. */
static double cost(const float *logits, int token) {
  double largest = logits[0], sum = 0.0;
  int k;
  for (k = 1; k < MODEL_VOCABULARY; k++)
    if (logits[k] > largest) largest = logits[k];
  for (k = 0; k < MODEL_VOCABULARY; k++) sum += exp(logits[k] - largest);
  return largest + log(sum) - logits[token];
}

static model_state state;
static float logits[MODEL_VOCABULARY];

/* Reads a text and prints its perplexity. */
static int score(FILE *file) {
  double nats = 0.0;
  long tokens = 0;
  int first = 1, token;
  const char *line;
  model_init(&state);
  model_token(&state, MODEL_END, logits);
  for (; (line = next_line(file)) != NULL; first = 0) {
    if (first && strncmp(line, "\xef\xbb\xbf", 3) == 0) line += 3;
    token = next_token(&line);
    if (MODEL_SENTENCES && token < 0) continue; /* an empty line is no sentence */
    for (;; token = next_token(&line)) {
      if (token < 0) token = MODEL_END;
      nats += cost(logits, token);
      tokens++;
      model_token(&state, token, logits);
      if (token == MODEL_END) break;
    }
  }
  if (tokens == 0) {
    fputs("no text\n", stderr);
    return 2;
  }
  printf("perplexity %.4f, %ld tokens\n", exp(nats / (double)tokens), tokens);
  return 0;
}

static unsigned long long random_bits;

/* Returns a number from 0 to 1, never 1: Marsaglia's xorshift, scrambled by Vigna. */
static double uniform(void) {
  random_bits ^= random_bits >> 12;
  random_bits ^= random_bits << 25;
  random_bits ^= random_bits >> 27;
  return (double)((random_bits * 2685821657736338717ULL) >> 11) / 9007199254740992.0;
}

/* Draws a token, never the unknown one; temperature 0 takes the likeliest. */
static int drawn(double temperature) {
  int k, best = -1;
  double sum = 0.0, at;
  for (k = 0; k < MODEL_VOCABULARY; k++)
    if (k != MODEL_UNKNOWN && (best < 0 || logits[k] > logits[best])) best = k;
  if (temperature < 1e-6) return best;
  for (k = 0; k < MODEL_VOCABULARY; k++)
    if (k != MODEL_UNKNOWN) sum += exp((logits[k] - logits[best]) / temperature);
  at = uniform() * sum;
  for (k = 0; k < MODEL_VOCABULARY; k++) {
    if (k == MODEL_UNKNOWN) continue;
    at -= exp((logits[k] - logits[best]) / temperature);
    if (at < 0.0) return k;
  }
  return best;
}

/* Writes a text that goes on from another. */
static void write_on(const char *prompt, long count, double temperature) {
  int token = MODEL_END, before;
  model_init(&state);
  model_token(&state, MODEL_END, logits);
  fputs(prompt, stdout);
  while ((before = next_token(&prompt)) >= 0) model_token(&state, token = before, logits);
  while (count-- > 0) {
    before = token;
    token = drawn(temperature);
    if (MODEL_WORDS && before != MODEL_END && token != MODEL_END) putchar(' ');
    if (token == MODEL_END) putchar('\n');
    else fwrite(model_texts[token], 1, (size_t)model_lengths[token], stdout);
    model_token(&state, token, logits);
  }
  putchar('\n');
}

int main(int argc, char **argv) {
  long count = 100;
  double temperature = 1.0;
  unsigned long seed = 1;
  int k, scores = 0;
  char *end = NULL;
  for (k = 1; k < argc && argv[k][0] == '-' && argv[k][1] != '\0'; k++) {
    const char *option = argv[k], *value = k + 1 < argc ? argv[k + 1] : "";
    if (strcmp(option, "-p") == 0) {
      scores = 1;
      continue;
    }
    errno = 0;
    if (strcmp(option, "-n") == 0) count = strtol(value, &end, 10);
    else if (strcmp(option, "-t") == 0) temperature = strtod(value, &end);
    else if (strcmp(option, "-s") == 0) seed = strtoul(value, &end, 10);
    else end = NULL;
    if (end == NULL || end == value || *end != '\0' || errno || count < 0 || !(temperature >= 0.0)) {
      fprintf(stderr, "usage: %s [-n tokens] [-t temperature] [-s seed] [prompt], or %s -p < text\n", argv[0], argv[0]);
      return 2;
    }
    k++;
  }
  if (scores) return score(stdin);
  random_bits = (seed + 1ULL) * 0x9E3779B97F4A7C15ULL;
  if (random_bits == 0) random_bits = 1;
  write_on(k < argc ? argv[k] : "", count, temperature);
  return 0;
}
