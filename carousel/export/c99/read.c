#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Returns how many bytes the character at p has; *code is its number in Unicode. */
static size_t character(const char *p, unsigned long *code) {
  const unsigned char *u = (const unsigned char *)p;
  size_t length = u[0] < 0x80 ? 1 : u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : 4, k;
  *code = length == 1 ? u[0] : u[0] & (0x7fu >> length);
  for (k = 1; k < length; k++) {
    if (u[k] == '\0') return k;
    *code = *code << 6 | (u[k] & 0x3fu);
  }
  return length;
}

static int white(unsigned long c) {
  return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
         c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

/* Returns a line of a file without its end, valid until the next call, or NULL. */
static const char *next_line(FILE *file) {
  static char *line = NULL;
  static size_t room = 0;
  size_t n = 0;
  int c = getc(file);
  if (c == EOF) return NULL;
  for (; c != EOF && c != '\n'; c = getc(file)) {
    if (n + 2 > room) {
      room = room ? 2 * room : 4096;
      line = realloc(line, room);
      if (line == NULL) exit(1);
    }
    line[n++] = (char)c;
  }
  if (n == 0) return "";
  while (n > 0 && line[n - 1] == '\r') n--;
  line[n] = '\0';
  return line;
}

