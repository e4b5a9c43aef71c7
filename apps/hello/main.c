/*
 * The smallest native application (docs/native.md): one line on the console, and the machine ends.
 * What its image weighs, and how little memory it boots in (`make size`), is what Wherry itself
 * costs.
 */
#include <wherry/app.h>

const size_t wherry_stack_size = 16384;

int main(int argc, char **argv)
{
    wherry_print("hello%s%s\n", argc > 1 ? ", " : "", argc > 1 ? argv[1] : "");
    return 0;
}
