// Windows only: paths are in the process's code page. Runs where there is a directory of a name in its letters.
#include "rslutil.h"

#include "check.h"

using namespace RSLib;

int main() {
    // West European; 0xfc is a u with two dots.
    CHECK(GetACP() == 1252);
    const char* green = "gr\xfcn";
    char found[MAX_PATH];
    CHECK(RSLCheckpointUtility::GetLatestCheckpoint(green, found, sizeof found) == NO_ERROR);
    CHECK(strncmp(found, green, 4) == 0 && strstr(found, "5.codex") != NULL);
    // Too small in the code page.
    CHECK(RSLCheckpointUtility::GetLatestCheckpoint(green, found, strlen(found)) == ERROR_INSUFFICIENT_BUFFER);
    // The name in UTF-8 is another one here; the C ABI knows no other.
    CHECK(RSLCheckpointUtility::GetLatestCheckpoint("gr\xc3\xbcn", found, sizeof found) == ERROR_PATH_NOT_FOUND);
    CHECK(rsl_checkpoint_latest("gr\xc3\xbcn", found, sizeof found) == NO_ERROR);
    // A letter that the code page lacks is not replaced by another, and half a letter is none.
    CHECK(detail::FromUtf8("\xe6\x97\xa5").empty());
    CHECK(detail::Recode("\x93\xfa", 2, 932, CP_UTF8) == "\xe6\x97\xa5");
    CHECK(detail::Recode("\x93", 1, 932, CP_UTF8).empty());
    rsl_reader* reader = NULL;
    CHECK(rsl_reader_open("\xff", &reader) == ERROR_INVALID_PARAMETER);
    printf("done\n");
    return 0;
}
