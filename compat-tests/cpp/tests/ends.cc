// How a C++ process ends: each run ends in the way that its first argument names.
#include "service.h"

using namespace RSLib;

static void OnNotification(int level, int logId, const char* title, const char* message) {
    printf("notify level=%d id=%d title=%s message=%s\n", level, logId, title, message == NULL ? "NULL" : message);
    fflush(stdout);
}

static void OnLogEntry(const char*, const char*, int, int logId, CallBackLogLevel level, const char* title, const char* fmt, va_list args) {
    if (level >= CallBackLogLevel_Error) {
        char text[500];
        vsnprintf(text, sizeof text, fmt, args);
        printf("log level=%d id=%d title=%s fmt=%s text=%s\n", int(level), logId, title, fmt, text);
        fflush(stdout);
    }
}

int main(int argc, char** argv) {
    CHECK(argc == 4);
    const std::string way = argv[1], directory = argv[2];
    const int port = atoi(argv[3]);
    CHECK(RSLInit(NULL, false, OnNotification, OnLogEntry));
    RSLConfigParam config = TestConfig(directory);
    const RSLNode self = TestNode("1", port);
    RSLNodeCollection nodes;
    if (way == "index") {
        nodes[0].m_ip = 1;
        return 98;
    }
    nodes.Append(self);
    Service* service = new Service;
    if (way == "tls") {
        CHECK(!SetThumbprintsForSsl("zz", NULL, false, false));
        CHECK(!service->Initialize(&config, nodes, self, RSLProtocolVersion_6, false));
        puts("refused");
        return 0;
    }
    if (way == "long path") {
        memset(config.m_workingDir, 'x', sizeof config.m_workingDir);
        CHECK(!service->Initialize(&config, nodes, self, RSLProtocolVersion_6, false));
        puts("refused");
        return 0;
    }
    if (way == "no init") {
        RSLUnload();
    }
    CHECK(service->Initialize(&config, nodes, self, RSLProtocolVersion_6, false));
    CHECK(Eventually([&] { return service->recovered.load(); }));
    char request[] = {1};
    if (way == "exception") {
        service->throwIn = 1;
        CHECK(service->ReplicateRequest(request, 1, NULL) == RSLSuccess);
        std::this_thread::sleep_for(std::chrono::seconds(30));
        return 98;
    }
    if (way == "destroy") {
        delete service;
        return 98;
    }
    if (way == "unload") {
        service->UnloadThisOne();
        return 98;
    }
    puts("running");
    return 7;
}
